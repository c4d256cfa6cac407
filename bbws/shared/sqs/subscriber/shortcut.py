"""A handler that takes the body and nothing else is called without looking for dependencies it does not have."""

from collections.abc import Awaitable, Callable
from inspect import Parameter
from typing import Any

from faststream.message import StreamMessage

from .._internal import CallModel, FastDependsConfig, HandlerItem

_NAMED = {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}


def shorten(item: HandlerItem[Any], config: FastDependsConfig) -> None:
    """Decoding, casting, validation and their errors stay those of FastDepends; only its search is left out.

    Nothing changes for handlers with dependencies, context, several parameters or none, and for those that yield.
    """
    model = item.dependant
    if config.use_fastdepends and config.get_dependent is None and isinstance(model, CallModel) and _is_plain(model):
        item.handler._wrapped_call = _direct(model)  # noqa: SLF001 - what FastStream itself has just set


def _is_plain(model: CallModel) -> bool:
    has_more = model.dependencies or model.extra_dependencies or model.custom_fields or model.is_generator
    if has_more or not model.is_async or len(model.params) != 1 or model.args_name or model.kwargs_name:
        return False
    return model.params[0].kind in _NAMED


def _direct(model: CallModel) -> Callable[[StreamMessage[Any]], Awaitable[Any]]:
    name, function, serializer = model.params[0].field_name, model.call, model.serializer
    says_none = getattr(function, "__annotations__", {}).get("return", ...) in (None, "None")

    async def call(message: StreamMessage[Any]) -> Any:
        arguments = {name: await message.decode()}
        # Who asks again decodes again: kept until SQS has confirmed the delete, it is work for the garbage collector.
        message.clear_cache()
        if serializer is None:
            return await function(**arguments)
        arguments = serializer(arguments)
        answer = await function(**arguments)
        # Who says that there is no answer and gives none needs no validation of that.
        return None if answer is None and says_none else serializer.response(answer)

    return call
