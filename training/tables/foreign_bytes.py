"""Says what stands before the JSON of a record that is not JSON."""

from __future__ import annotations

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAGIC = b"\x00"
_HEADER = 5


def describe_prefix(raw: bytes) -> str:
    """What to do about the first bytes of a record, empty if they are not known.

    A Schema Registry's header is a zero and four bytes of the schema's number, before the record itself.
    """
    if raw.startswith(_BYTE_ORDER_MARK):
        return "it begins with a byte order mark, EF BB BF, which the worker rejects: let the producer omit it"
    if raw.startswith(_MAGIC) and len(raw) > _HEADER:
        number = int.from_bytes(raw[1:_HEADER], "big")
        header = f"it begins with a Schema Registry's header of five bytes, schema {number}"
        if raw[_HEADER:].lstrip().startswith(b"{"):
            return f"{header}, which the worker rejects: let the producer write JSON without it"
        return f"{header}, so it is probably Avro or Protobuf, which this version does not read"
    return ""
