"""Aggregators: losses of subsets in, values with standard errors out. The registry names them.

"Survey" in these modules is Hammoudeh and Lowd, Training Data Influence Analysis and Estimation: A Survey, Machine
Learning 2024; its Downsampling is read with the note that fixed-size values sum to zero (see `difference_of_means`).
"""
