"""The orders of the gateway as a bare aiohttp handler keeps them: the same calls to AWS, through aiobotocore.

Written as one would without contracts: what is stored is believed, what is sent is only parsed. No callers, rights,
links, metrics, logs or audit chain; but the same tables, the same number and kind of calls, the same items.

python -m benchmarks.plain PORT FILE      FILE holds the gateway's answer for an order, from which new ones are made
"""

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import web

from bbws.shared.settings import Settings, secret

try:
    import uvloop
except ImportError:
    pass
else:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

DYNAMODB: web.AppKey[Any] = web.AppKey("dynamodb")


def encode(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": value}
    if isinstance(value, list):
        return {"L": [encode(each) for each in value]}
    return {"M": encode_item(value)}


def encode_item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: encode(value) for name, value in item.items()}


def decode(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    if kind == "N":
        return int(value)
    if kind == "M":
        return decode_item(value)
    if kind == "L":
        return [decode(each) for each in value]
    return None if kind == "NULL" else value


def decode_item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: decode(value) for name, value in item.items()}


def answer(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json", status=status)


async def ready(_: web.Request) -> web.Response:
    return answer({})


async def get_order(request: web.Request) -> web.Response:
    tenant, order = request.match_info["tenant"], request.match_info["order"]
    key = encode_item({"PK": f"TENANT#{tenant}", "SK": f"ORDER#{order}"})
    found = await request.app[DYNAMODB].get_item(TableName="orders", Key=key, ConsistentRead=True)
    return answer(decode_item(found["Item"])) if "Item" in found else answer({}, 404)


async def list_orders(request: web.Request) -> web.Response:
    dynamodb, partition = request.app[DYNAMODB], f"TENANT#{request.match_info['tenant']}"
    tenant = await dynamodb.get_item(
        TableName="bbws-tenants", Key=encode_item({"PK": partition, "SK": "METADATA"}), ConsistentRead=True
    )
    if "Item" not in tenant:
        return answer({}, 404)
    found = await dynamodb.query(
        TableName="orders",
        KeyConditionExpression="#p = :p AND begins_with(#s, :s)",
        ExpressionAttributeNames={"#p": "PK", "#s": "SK"},
        ExpressionAttributeValues=encode_item({":p": partition, ":s": "ORDER#"}),
        Limit=int(request.query.get("limit", 20)),
        ScanIndexForward=False,
        ConsistentRead=True,
    )
    return answer({"items": [decode_item(item) for item in found["Items"]]})


async def post_order(request: web.Request) -> web.Response:
    dynamodb, tenant, sent = request.app[DYNAMODB], request.match_info["tenant"], orjson.loads(await request.read())
    order_id, now = str(uuid4()), int(time.time())
    claim = {"PK": f"IDEMPOTENCY#{hashlib.sha256(request.headers['Idempotency-Key'].encode()).hexdigest()}"}
    claim |= {"SK": "ANSWER"}
    await dynamodb.put_item(
        TableName="idempotency",
        Item=encode_item(claim | {"resourceId": order_id, "leaseUntil": str(now + 60), "expiresAt": now + 172800}),
        ConditionExpression="attribute_not_exists(PK) OR expiresAt < :now",
        ExpressionAttributeValues=encode_item({":now": now}),
    )
    partition = f"TENANT#{tenant}"
    products = [{"PK": f"PRODUCT#{line['productId']}", "SK": "METADATA"} for line in sent["items"]]
    keys = {
        "bbws-tenants": [{"PK": partition, "SK": "METADATA"}],
        "orders": [{"PK": partition, "SK": f"ORDER#{order_id}"}],
        "products": products,
    }
    asked = {name: {"Keys": [encode_item(key) for key in of], "ConsistentRead": True} for name, of in keys.items()}
    found = (await dynamodb.batch_get_item(RequestItems=asked))["Responses"]
    product = decode_item(found["products"][0])
    order = TEMPLATE | {"id": order_id, "tenantId": tenant, "billingAddress": sent["billingAddress"]}
    order["items"] = [TEMPLATE["items"][0] | {"productId": product["id"], "unitPriceCents": product["priceCents"]}]
    item = {"PK": partition, "SK": f"ORDER#{order_id}", "orderIdKey": order_id, "activeKey": "ACTIVE", **order}
    entry = {"PK": partition, "SK": f"EVENT#{now}#{uuid4()}", "action": "ORDER_PLACED", "details": {"after": order}}
    await dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table, "Item": encode_item(it), "ConditionExpression": "attribute_not_exists(PK)"}}
            for table, it in (("orders", item), ("bbws-tenants", entry))
        ]
    )
    body = orjson.dumps(order)
    await dynamodb.update_item(
        TableName="idempotency",
        Key=encode_item(claim),
        UpdateExpression="SET #s = :s, #b = :b REMOVE leaseUntil",
        ConditionExpression="leaseUntil = :l",
        ExpressionAttributeNames={"#s": "status", "#b": "body"},
        ExpressionAttributeValues=encode_item({":s": 201, ":b": body, ":l": str(now + 60)}),
    )
    return web.Response(body=body, content_type="application/json", status=201)


async def client(app: web.Application) -> AsyncIterator[None]:
    settings = Settings()
    config = AioConfig(max_pool_connections=50, retries={"mode": "standard", "total_max_attempts": 3})
    async with get_session().create_client(
        "dynamodb",
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret(settings.aws_secret_access_key),
        config=config,
    ) as app[DYNAMODB]:
        yield


def create_app() -> web.Application:
    app = web.Application()
    orders = "/v1.0/tenants/{tenant}/orders"
    app.add_routes([web.get("/readyz", ready), web.get(orders, list_orders), web.post(orders, post_order)])
    app.add_routes([web.get(f"{orders}/{{order}}", get_order)])
    app.cleanup_ctx.append(client)
    return app


if __name__ == "__main__":
    TEMPLATE = orjson.loads(Path(sys.argv[2]).read_bytes())
    for beside in ("_links", "checkout"):
        TEMPLATE.pop(beside, None)
    TEMPLATE = {name: value for name, value in TEMPLATE.items() if value is not None}
    web.run_app(create_app(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
