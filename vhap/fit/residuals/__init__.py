"""What costs: one file a term, with its cost or weighted residuals and their derivatives."""
