"""The controller: folds events into moments, looks, decides, writes flags. The only clock of decisions.

Never here: a request of a client, a page, or a number that no look can recompute. One controller leads at a time; all
it writes carries its fencing token.
"""
