"""Accounts: what calls of models may cost, and what they did cost.

A budget is money or tokens of a period, a rate is requests or tokens of a minute. A process holds slices of both in
memory, leased from the database, so that a call is admitted without asking it; what was used is written behind.
"""

from bastide.inference.accounts.accounts import Accounts
from bastide.inference.accounts.admission import Admission, Purse, cost_eur
from bastide.inference.accounts.keeping import Keeping
from bastide.inference.accounts.reserving import Account, Reserving, Took
from bastide.inference.accounts.values import Budget, Department, Keeps, Left, Rate, Used

__all__ = [
    "Account",
    "Accounts",
    "Admission",
    "Budget",
    "Department",
    "Keeping",
    "Keeps",
    "Left",
    "Purse",
    "Rate",
    "Reserving",
    "Took",
    "Used",
    "cost_eur",
]
