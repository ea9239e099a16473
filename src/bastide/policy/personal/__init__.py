"""What identifies a person in a text: e-mail addresses, phones, accounts, cards, and the identity numbers of Europe.

A fast look at the bytes says whether any of it may be there; only then is it read closely, with the checksum of whoever
issues the number where there is one. It is never complete: names, addresses, and what health, faith or a conviction is
told in words are not looked for, and so nothing here ever finds more than `personal`.
"""

from bastide.policy.personal.detecting import IDENTITIES, find, kinds, kinds_in
from bastide.policy.personal.found import Found

__all__ = ["IDENTITIES", "Found", "find", "kinds", "kinds_in"]
