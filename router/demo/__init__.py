"""The demo: a true story on this machine, with real models, real Redis, real processes and simulated people.

The models are trained on real scans and make their own mistakes. Only the people are simulated: who visits,
when, and whether they report what they saw. Nothing here is imported by the product, and the demo talks to the
product only as its users do: HTTP to the gateway, HTTP to the API.

Never here: a shortcut into the gateway's, the API's or the controller's state.
"""
