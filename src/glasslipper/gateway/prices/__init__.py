"""What models are there, what can they do and what do they cost.

`catalogue` reads the file that ships with the package, `overrides` what the user states, and both
give a `Tariff`: every price of an endpoint, and when which one applies. Knows no accounts, no
requests and no network; `make catalogue` writes the file anew.
"""
