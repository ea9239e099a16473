"""Packing: what lies sealed beside a leaf, made small before it is sealed.

    1 byte      which vocabulary
    the rest    a frame of Zstandard that refers to it

Nearly all of what a call leaves is said in the same words as of the call before: the shape of a receipt, the rules and
their reasons. A vocabulary is only what is expected: text that holds none of it is packed as rightly, and less small.
What was not packed begins with "{".
"""

from __future__ import annotations

from typing import Final

import zstandard

from bastide.errors import BlobDamaged

_LEVEL: Final = -5  # a level of 1 makes it a quarter smaller and takes twice as long
_BYTES_MAX: Final = 64 * 1024 * 1024
_PLAIN: Final = b"{"

# Never changed: what was packed with it could not be read again. New words need a new number.
_VOCABULARY_1: Final = (
    '"subjects":[""app":"app_"ok":false,"why":""zone":"eea""class":"public""class":"confidential"'
    '"assurance":"contractual""protocol":"TLSv1.3"{"actor":"usr_{"actor":"key_","resource":"'
    '","receipt":{"act":"inference","assurance":"local-measured","decision":{"allowed":true,"capability":"chat","'
    'decided_at":"2026-+00:00","endpoint":"local/runtime/","expires_at":"2026-+00:00","model":"'
    '","policy":"sha256:","purpose":"","record":"sha256:","rejected":[],"rules":['
    '{"id":"R01","ok":true,"why":"No air gap, or an endpoint of our own."},'
    '{"id":"R02","ok":true,"why":"Enabled by the tenant."},{"id":"R03","ok":true,"why":"Every plane is known."},'
    '{"id":"R04","ok":true,"why":"Every plane is inside the zone."},'
    '{"id":"R05","ok":true,"why":"No personal data, or a processor contract."},'
    '{"id":"R06","ok":true,"why":"No personal data leaves the EEA unguarded."},'
    '{"id":"R07","ok":true,"why":"No personal data, or known sub-processors."},'
    '{"id":"R08","ok":true,"why":"Nothing is kept, or nothing forbids it."},'
    '{"id":"R09","ok":true,"why":"Content is not used to train."},'
    '{"id":"R10","ok":true,"why":"No exposure that is not tolerated."},'
    '{"id":"R11","ok":true,"why":"The estimated SEAL suffices."},'
    '{"id":"R12","ok":true,"why":"The estimated UAL suffices."},'
    '{"id":"R13","ok":true,"why":"Purpose and risk class fit."},'
    '{"id":"R14","ok":true,"why":"Nothing untrusted can reach out."},'
    '{"id":"R15","ok":true,"why":"The endpoint is as recorded."},'
    '{"id":"R16","ok":true,"why":"Policy, record and evidence are at hand."},'
    '{"id":"R17","ok":true,"why":"Decided like a first call."},'
    '{"id":"R18","ok":true,"why":"A known kind of act."}]},"ended":"2026-Z","endpoint":{"id":"local/runtime/'
    '","record":"sha256:","record_id":"local/runtime"},"estimated":false,"id":"rcp_","input":"hmac:'
    '","label":{"air_gap":false,"class":"internal","integrity":"trusted","min_evidence":"contract","min_seal":{},'
    '"personal":"none","subjects":[],"tolerate":{},"zone":null},"model":"","outcome":"done","output":"hmac:'
    '","started":"2026-Z","time":"2026-'
    'Z","tls":{"cert_sha256":"","ip":"127.0.0.1","issuer":"","not_after":"","port":'
    '443,"protocol":"","spki_sha256":""},"tokens":{"input":1,"output":}}}'
)

_DICTIONARIES: Final = {
    1: zstandard.ZstdCompressionDict(_VOCABULARY_1.encode(), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
}
_NEWEST: Final = max(_DICTIONARIES)
_DICTIONARIES[_NEWEST].precompute_compress(level=_LEVEL)


class Packer:
    """Packs one after another, in one thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=_DICTIONARIES[_NEWEST], write_checksum=False
        )
        self._before = bytes([_NEWEST])

    def __call__(self, payload: bytes) -> bytes:
        """The packed form."""
        return self._before + self._compressor.compress(payload)


def unpacked(content: bytes) -> bytes:
    """What was packed; or `content` itself, if it was not. Raises BlobDamaged."""
    if content[:1] == _PLAIN:
        return content
    words = _DICTIONARIES.get(content[0]) if content else None
    if words is None:
        raise BlobDamaged("What lies sealed here was packed by another version of this program.")
    try:
        size = zstandard.frame_content_size(content[1:])
        if not 0 <= size <= _BYTES_MAX:
            raise BlobDamaged
        return zstandard.ZstdDecompressor(dict_data=words).decompress(content[1:])
    except zstandard.ZstdError as fault:
        raise BlobDamaged from fault
