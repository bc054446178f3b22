"""Will they leave: features, snapshots that wait for their label, an online model, its quality, alerts and their reasons.

The life of one label: `calendar` says when to look at a customer, `snapshots.take` keeps what was known and what the model
said, `snapshots.mature` turns it into an example once the horizon has passed, `trainer` learns it (the only place that
uses River), and `model.FrozenModel` is what everybody scores with.
"""
