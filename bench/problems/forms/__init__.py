"""Who computes what: for each provider a table ``FORMS`` from family to code, each as its users
write it. A form takes a family's operands and returns its results (``families.py``): losses are
the mean over the batch of KL - log p(x|z), constants included; likelihoods and divergences one
number per datapoint.
"""
