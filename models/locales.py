"""Countries and time zones that an installer knows; at any other it stops, and waits for a person.

Sources: ISO 3166-1; the time zone database, where this system has it.
"""

from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_CODES: Final = (
    "ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br "
    "bs bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz "
    "ec ee eg eh er es et fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw "
    "gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky "
    "kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv "
    "mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py "
    "qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg "
    "th tj tk tl tm tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm "
    "zw "
)
COUNTRIES: Final = frozenset(_CODES.split())

_SURELY: Final = "Europe/Berlin"
"""A zone of every database: without it, there is none here to judge by."""


def country(text: str) -> str:
    """Return *text*, which is a country.  Raises ValueError."""
    if text not in COUNTRIES:
        raise ValueError("want two small letters that are a country (ISO 3166), such as gb")
    return text


def timezone(text: str) -> str:
    """Return *text*, which is a time zone as far as can be told.  Raises ValueError."""
    if not _is_zone(text) and _is_zone(_SURELY):
        raise ValueError("want a time zone, such as Europe/Berlin or UTC")
    return text


def _is_zone(text: str) -> bool:
    if text != "UTC" and ("/" not in text or text.startswith("Etc/")):
        return False  # of the zones, the installer knows those of countries
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
