"""A page that is slow to make: made once for a hundred visitors, and anew after a commit."""

import time
from concurrent.futures import ThreadPoolExecutor

from redisorm import Cache, RedisModel, Session, connect


class Product(RedisModel, prefix="product"):
    id: int
    name: str
    price: int


with connect("memory://", namespace="shop") as db:
    cache = Cache(db, prefix="page", ttl=60)
    made = []

    @cache.memoize("product:{product_id}", stale=30)
    def page(product_id: int) -> str:
        made.append(product_id)
        time.sleep(0.2)
        product = Product.get_one(product_id)
        return f"<h1>{product.name}</h1><p>{product.price} €</p>"

    Product(id=1, name="Lamp", price=40).save()

    with ThreadPoolExecutor(100) as visitors:
        pages = set(visitors.map(page, [1] * 100))
    print(f"100 visitors, {len(made)} page made:", *pages)

    with Session.begin(db) as session:
        session.get_one(Product, 1).price = 35
        session.invalidate(page, 1)
    print("after the commit:", page(1))
    print("in Redis:", sorted(key.decode() for key in db.client.scan_iter("shop:page:*")))
