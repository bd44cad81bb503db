"""The part of the settings that says how many may listen, and to what."""

from pydantic import Field

from config.authorities import Believed
from config.values import Loopback


class Listeners(Believed):
    """Live streams, and metrics."""

    events_streams: int = Field(
        5000, ge=1, le=100_000, description="Most live streams of one events process."
    )
    events_streams_each: int = Field(
        100, ge=1, le=100_000, description="Most live streams of one person or token."
    )
    control_metrics_bind: Loopback = Field(
        "",
        description="Loopback address and port that a control process serves its metrics on; "
        "empty: none.",
    )
    site_metrics_bind: Loopback = Field(
        "", description="Loopback address and port that a site serves its metrics on; empty: none."
    )
