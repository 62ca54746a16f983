"""A small order service: everything that an order does in Redis is one transaction, and a page in the browser follows it live.

::

    pip install -e ".[examples]"
    python -m examples.orders          # then open http://127.0.0.1:8000

It starts a private server of its own (`embedded://`), which ends with it; `--url redis://localhost` takes another one.
Read `models.py` (what is stored and told), then `shop.py` (what is done), then `app.py` (how it is asked for over HTTP).
"""
