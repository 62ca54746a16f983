"""A unit of work: one object for one row, and everything that changed in one MULTI/EXEC."""

from redisorm import RedisModel, Session, StaleObjectError, connect


class Account(RedisModel, prefix="account", versioned=True):
    id: int
    owner: str
    balance: int = 0


def transfer(session: Session) -> int:
    ann, bob = session.get_one(Account, 1), session.get_one(Account, 2)
    ann.balance -= 30
    bob.balance += 30
    return ann.balance


with connect("memory://") as db:
    with Session.begin(db) as session:  # commits at the end of the block
        session.add_all([Account(id=1, owner="Ann", balance=100), Account(id=2, owner="Bob")])

    print("Ann has", Session.retry(transfer, db), "left")  # again on a conflict, with a fresh session

    mine, theirs = Account.get_one(1), Account.get_one(1)
    theirs.balance += 1
    theirs.save()
    mine.balance += 5
    try:
        mine.save()
    except StaleObjectError as conflict:
        print(conflict)

    with Session(db) as session:
        account = session.get_one(Account, 2)
        account.owner = "Robert"
        session.rollback()
        assert account.owner == "Bob"
        assert session.get(Account, 2) is account
