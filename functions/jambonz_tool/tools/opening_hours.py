"""When we are open, by the calendars of the call plan."""

from datetime import datetime

from callhooks.providers.jambonz.llm_tools.toolbox import ToolCall


def opening_hours(call: ToolCall) -> object:
    """Tell whether we are open now, and when we open or close next. Times are ISO 8601, by the clock there."""
    calendars = []
    for name, is_open in call.plan.open_calendars(call.now).items():
        change = call.plan.next_change(name, call.now)
        told: dict[str, object] = {"calendar": name, "open": is_open}
        if change is not None:
            told["now_there"] = _told(call.now.astimezone(change.tzinfo))
        calendars.append({**told, "closes" if is_open else "opens": change and _told(change)})
    return {"calendars": calendars}


def _told(moment: datetime) -> dict[str, str]:
    return {"weekday": f"{moment:%A}", "time": moment.isoformat(timespec="minutes")}
