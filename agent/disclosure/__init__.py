"""What may leave the plant, decided in one place for every kind of message.

Digests: :mod:`.sharing` says which tags' aggregates may be in them, and which machines' sums. Status, enrolment, the
answers to prescriptions and the headers of every request: :mod:`.messages`. What an audience is told is less than that
and never more (:mod:`agent.digest.audience`).
"""
