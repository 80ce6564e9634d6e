"""The words of which a table of indicators or findings may be made: what the agent can measure.

The digest makes the numbers; a test holds these lists against what it makes.
"""

from __future__ import annotations

from agent.config.digest_tables import Scope

MEASURES: dict[str, tuple[Scope, tuple[str, ...]]] = {
    "unmonitored_equipment": ("gateway", ("unmonitored_share", "connected", "declared")),
    "clock_quality": ("gateway", ("clock_offset_s",)),
    "evidence_gap": ("device", ("good_share", "good", "expected")),
    "unstable_link": ("device", ("disconnects", "timeout_share", "timeouts")),
    "idle_energy": ("machine", ("idle_share", "idle_kwh", "joined_kwh")),
    "off_shift_baseload": ("machine", ("baseload_ratio", "baseload_kw", "executing_kw")),
    "micro_stops": ("machine", ("micro_share", "micro_stops", "micro_s", "adet_s")),
    "low_availability": ("machine", ("availability", "apt_s", "known_planned_s", "planned_h")),
    "short_mtbf": ("machine", ("mtbf_h", "between_s", "failures")),
    "long_repair": ("machine", ("mttr_min", "repair_s", "failures")),
    "speed_loss": ("machine", ("effectiveness", "ideal_s", "apt_s")),
    "quality_trend": ("machine", ("sigmas", "quality_week", "quality_month", "produced_week", "produced_month")),
    "demand_peak": ("machine", ("load_factor", "mean_kw", "demand_kw", "contract_share", "highest_kw")),
    "setup_burden": ("machine", ("setup_share", "aust_s", "aupt_s")),
    "counter_anomaly": (
        "machine",
        ("anomalies", "resets", "rollovers", "stuck", "dips", "spikes", "replaced", "unexplained"),
    ),
    "sub_meters": (
        "machine",
        ("excess_share", "missing_share", "unmetered_share", "main_kwh", "sub_kwh", "larger_kwh", "compared_h"),
    ),
    "energy_against_power": ("machine", ("difference_share", "counter_kwh", "power_kwh", "larger_kwh", "both_h")),
}
"""What a rule measures, by its name: of what, and the numbers that a limit may be set on."""

KPIS = (
    "ISO22400.AVAILABILITY",
    "ISO22400.EFFECTIVENESS",
    "ISO22400.QUALITY_RATIO",
    "ISO22400.NEE_AVAILABILITY",
    "ISO22400.UTILIZATION_EFFICIENCY",
    "ISO22400.ALLOCATION_RATIO",
    "ISO22400.TECHNICAL_EFFICIENCY",
    "ISO22400.SETUP_RATE",
    "ISO22400.SCRAP_RATIO",
    "ISO22400.REWORK_RATIO",
    "ISO22400.MTBF",
    "ISO22400.MTTR",
    "ENPI.SEC",
    "ENPI.IDLE_SHARE",
    "ENPI.BASELOAD_RATIO",
    "ENPI.LOAD_FACTOR",
    "ISO22400.OEE",
    "ISO22400.NEE",
)
"""What an indicator may be over all machines."""

FIGURES = (
    "declared_total",
    "declared_digital",
    "key_processes",
    "key_processes_nc",
    "connected",
    "links",
    "links_collected",
    "key_machines",
    "key_standard",
)
"""What an indicator of the plant may be a ratio of."""

INPUTS = ("produced", "good", "scrap", "rework", "known_state", "energy")
"""What of a machine shows that a business link is collected automatically."""
