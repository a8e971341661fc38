"""CTKD in the training loops of other frameworks: one module for each, which imports its framework."""
