"""Accounts of the emulator that begin as a copy of another one: what was provisioned once need not be again.

Everything an account has set up and stored is copied: queues, topics, subscriptions, rules, tables with their items,
buckets with their objects, user pools. Addresses, ARNs and names that hold the account's id hold the new one's, and
what the service made up itself, and needs to be alone in the world with, is made up anew. What is on its way stays
behind: messages, the log of a bus, mails, uploads.
"""

import pickle
import re
import secrets
import shutil
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_ACCOUNT = re.compile(r"[1-9]\d{11}")
# What an account has under way, by service; all else that is kept for an account is what it has.
_ON_ITS_WAY = {
    "cognito": {"_challenge_sessions"},
    "dynamodb": {"_txn_idempotency", "_stream_records", "_stream_trimmed"},
    "eventbridge": {"_events_log"},
    "s3": {"_multipart_uploads", "_completed_multipart_uploads"},
    "ses": {"_sent_emails"},
    "sns": {"_sms_messages"},
}
_SERVICES = "ministack.services."
# Service and name of a store; under the rest of each key what it holds.
_Stores = dict[tuple[str, str], Any]
_State = dict[tuple[str, str], dict[tuple[Any, ...], Any]]


class CannotCopy(Exception):
    """There is nothing to copy, or no place for it; the text says why."""


def copy_account(source: str, target: str) -> None:
    """`target` has what `source` has. Raises CannotCopy, and then nothing was done."""
    if not (_ACCOUNT.fullmatch(source) and _ACCOUNT.fullmatch(target)) or source == target:
        raise CannotCopy("an account is twelve digits, the first no zero, and a copy another one")
    stores = dict(_stores())
    if _state_of(target, stores):
        raise CannotCopy(f"account {target} has something already")
    state = _state_of(source, stores)
    if not state:
        raise CannotCopy(f"account {source} has nothing")
    copied = _renamed(state, {source: target} | dict(_fresh_ids(state)))
    _refuse_shared_buckets(state, copied)
    _empty_queues(copied)
    _copy_objects(source, target)
    for store, entries in copied.items():
        held = stores[store]
        held.update(held.from_dict({(target, *key): value for key, value in entries.items()}))


def _stores() -> Iterator[tuple[tuple[str, str], Any]]:
    """Whatever the services keep for each account, but for what is on its way."""
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    modules = {name.removeprefix(_SERVICES): module for name, module in sys.modules.items() if _is_service(name)}
    for service, module in modules.items():
        for name, value in vars(module).items():
            is_store = isinstance(value, (AccountScopedDict, AccountRegionScopedDict))
            if is_store and name not in _ON_ITS_WAY.get(service, ()):
                yield (service, name), value


def _is_service(module: str) -> bool:
    return module.startswith(_SERVICES)


def _state_of(account: str, stores: _Stores) -> _State:
    found = {
        store: {key[1:]: value for key, value in held.to_dict().items() if key[0] == account}
        for store, held in stores.items()
    }
    return {store: entries for store, entries in found.items() if entries}


def _fresh_ids(state: _State) -> Iterator[tuple[str, str]]:
    """Tokens name a pool and its app, and no account: each pool and each app needs an id of its own."""
    for (region, pool_id), pool in state.get(("cognito", "_user_pools"), {}).items():
        own = pool_id.removeprefix(f"{region}_")
        yield pool_id, pool_id.removesuffix(own) + _made_up(len(own), string.ascii_letters)
        for client_id in pool["_clients"]:
            yield client_id, _made_up(len(client_id), string.ascii_lowercase)


def _made_up(length: int, letters: str) -> str:
    return "".join(secrets.choice(letters + string.digits) for _ in range(length))


def _renamed(state: _State, names: Mapping[str, str]) -> _State:
    """A copy of all of it with other names, wherever they stand; as those are as long, pickle's lengths hold."""
    pattern = re.compile(b"|".join(re.escape(name.encode()) for name in names))
    new: Callable[[re.Match[bytes]], bytes] = lambda found: names[found[0].decode()].encode()  # noqa: E731
    copied: _State = pickle.loads(pattern.sub(new, pickle.dumps(state)))  # noqa: S301 - our own state
    return copied


def _refuse_shared_buckets(state: _State, copied: _State) -> None:
    """The name of a bucket is taken once among all accounts: only one that holds the account's id can be copied."""
    buckets = ("s3", "_buckets")
    if shared := state.get(buckets, {}).keys() & copied.get(buckets, {}).keys():
        raise CannotCopy(f"no two accounts can have these buckets: {sorted(name for (name,) in shared)}")


def _empty_queues(copied: _State) -> None:
    for queue in copied.get(("sqs", "_queues"), {}).values():
        queue.update(messages=[], dedup_cache={}, fifo_seq=0)


def _copy_objects(source: str, target: str) -> None:
    """Bodies lie in files, under the account and the bucket."""
    if (s3 := sys.modules.get(f"{_SERVICES}s3")) is None:
        return
    for root in (Path(s3.DATA_DIR), Path(s3.DATA_DIR, s3._VERSIONS_DIR)):  # noqa: SLF001
        for bucket in (root / source).glob("*/"):
            shutil.copytree(bucket, root / target / bucket.name.replace(source, target))
