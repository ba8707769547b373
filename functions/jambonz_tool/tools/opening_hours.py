"""When we are open, by the calendars of the call plan."""

from callhooks.tools import ToolCall


def opening_hours(call: ToolCall) -> object:
    """Tell whether we are open now, and when we open or close next. Times are ISO 8601."""
    calendars = []
    for name, is_open in call.plan.open_calendars(call.now).items():
        change = call.plan.next_change(name, call.now)
        next_change = None if change is None else f"{change:%A} {change.isoformat(timespec='minutes')}"
        calendars.append({"calendar": name, "open": is_open, "closes" if is_open else "opens": next_change})
    return {"now": f"{call.now:%A} {call.now.isoformat(timespec='minutes')}", "calendars": calendars}
