"""DP-SGD: training whose weights tell little of any one row or patient."""
