"""``make bench``: what waiting, submitting and importing cost, beside a floor and beside peers."""
