"""SQS's JSON, read in one go instead of member by member along botocore's description of it."""

from base64 import b64decode
from typing import Any

from aiobotocore.parsers import AioJSONParser

from . import signed

_RECEIVED = "ReceiveMessageResult"


def read(content: bytes, *, received: bool) -> dict[str, Any]:
    """An answer as botocore would give it; `received`: it may have Binary attributes. ValueError for anything else."""
    answer = signed.read(content)
    if received:
        for message in answer.get("Messages") or ():
            _decode_binary(message)
    return answer


def _decode_binary(message: dict[str, Any]) -> None:
    for attribute in message.get("MessageAttributes", {}).values():
        if "BinaryValue" in attribute:
            attribute["BinaryValue"] = b64decode(attribute["BinaryValue"])


class _Parser(AioJSONParser):  # type: ignore[misc]
    """Answers 200 of SQS; errors, and what cannot be read, stay botocore's."""

    def _do_parse(self, response: dict[str, Any], shape: Any) -> dict[str, Any]:
        try:
            parsed = read(response["body"], received=shape is not None and shape.name == _RECEIVED)
        except ValueError:
            usual: dict[str, Any] = super()._do_parse(response, shape)
            return usual
        self._inject_response_metadata(parsed, response["headers"])
        return parsed


class _Factory:
    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def create_parser(self, protocol: str) -> Any:
        # SQS's XML of old is botocore's alone.
        return _Parser() if protocol == "json" else self._usual.create_parser(protocol)


def read_quickly(sqs: Any) -> None:
    """This client for SQS, and no other of its session, reads its answers here."""
    endpoint = sqs._endpoint  # noqa: SLF001 - the session has a public place for it, which is every client's
    endpoint._response_parser_factory = _Factory(endpoint._response_parser_factory)  # noqa: SLF001
