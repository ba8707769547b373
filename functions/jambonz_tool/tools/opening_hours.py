"""Opening hours, from the calendars of the call plan."""

from datetime import datetime

from callhooks.providers.jambonz.llm_tools.toolbox import ToolCall


def opening_hours(call: ToolCall) -> object:
    """Find out whether we are open now, and when that changes. Times are ISO 8601, in the calendar's time zone."""
    calendars = []
    for name, is_open in call.plan.open_calendars(call.now).items():
        change = call.plan.next_change(name, call.now)
        entry: dict[str, object] = {"calendar": name, "open": is_open}
        if change is not None:
            entry["now_there"] = _local_time(call.now.astimezone(change.tzinfo))
        calendars.append({**entry, "closes" if is_open else "opens": change and _local_time(change)})
    return {"calendars": calendars}


def _local_time(moment: datetime) -> dict[str, str]:
    return {"weekday": f"{moment:%A}", "time": moment.isoformat(timespec="minutes")}
