"""Run the shop: `python -m examples.orders [--port 8000] [--url embedded:///var/lib/shop]`."""

import argparse

import uvicorn

from redisorm import Database, Limit

from .app import create_app
from .shop import Shop


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders", description="A small order service with a live dashboard.")
    parser.add_argument("--port", type=int, default=8000, help="on this machine; 0 takes a free one")
    parser.add_argument("--url", default="embedded://", help="the database; embedded:///PATH keeps it, redis://… takes a server that runs")
    parser.add_argument("--billing", type=float, default=0.8, metavar="SECONDS", help="how long the payment service takes")
    said = parser.parse_args()

    shop = Shop(Database(said.url, namespace="shop"), limit=Limit(10, per=10), billing_s=said.billing)
    config = uvicorn.Config(create_app(shop, lambda: server.should_exit), port=said.port, log_level="warning")
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    listening.listen()  # so that who reads the next line may connect at once
    print(f"open http://127.0.0.1:{listening.getsockname()[1]} (Ctrl-C ends it)", flush=True)
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
