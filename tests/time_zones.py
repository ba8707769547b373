"""Time zones of the machines that build callhooks, in the form that needs no files of the machine."""

TIME_ZONES = {
    "UTC": "UTC0",
    "Los Angeles": "PST8PDT,M3.2.0,M11.1.0",
    "the westernmost zone": "<-12>12",
    "the easternmost zone": "<+14>-14",
}
