"""A list on the embedded AWS must not take longer than a person waits."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, os
os.environ.update(SERVICES="dynamodb", PERSIST_STATE="0", LOG_LEVEL="ERROR")
from ministack.services import dynamodb
from bbws.local.emulator_expressions import read_once

read = []
for name in ("_tokenize", "_condition_syntax_error"):
    def counted(*given, _usual=getattr(dynamodb, name)):
        read.append(given)
        return _usual(*given)
    setattr(dynamodb, name, counted)
read_once(dynamodb)

keys = [("PK", "HASH"), ("SK", "RANGE")]
dynamodb._create_table({
    "TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
    "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys],
})
for number in range(300):
    dynamodb._put_item({"TableName": "orders", "Item": {"PK": {"S": "T"}, "SK": {"S": f"ORDER#{number:03}"}}})


def page(prefix):
    found = json.loads(dynamodb._query({
        "TableName": "orders", "KeyConditionExpression": "#p = :p AND begins_with(#s, :s)",
        "ExpressionAttributeNames": {"#p": "PK", "#s": "SK"},
        "ExpressionAttributeValues": {":p": {"S": "T"}, ":s": {"S": prefix}},
        "Limit": 3, "ScanIndexForward": False,
    })[2])
    return [item["SK"]["S"] for item in found["Items"]]


print(json.dumps([page("ORDER#"), page("ORDER#1"), page("X"), len(read)]))
"""


@pytest.mark.process
def test_a_condition_is_read_once_and_not_for_each_item() -> None:
    """Three pages of three hundred items: each says what its own values ask for, and the text is read twice in all."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True)
    newest, of_one, none, read = json.loads(done.stdout.splitlines()[-1])
    assert newest == ["ORDER#299", "ORDER#298", "ORDER#297"]
    assert of_one == ["ORDER#199", "ORDER#198", "ORDER#197"]
    assert none == []
    assert read < 20
