"""What is estimated from a policy's own samples: gradients of what has none, the KL, and which groups teach anything.

Pure functions of log-probs and rewards, on torch alone. They read the response called "sample": one drawn from the
policy that is being trained, without top-p and at temperature 1. Only then are the expectations those of the policy. At
another temperature log-probs are taken at it too, and the expectations are those of the policy at that temperature.
"""
