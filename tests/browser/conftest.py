"""At the end: how long things took that a reader waits for."""


def pytest_terminal_summary(terminalreporter):
    measured = {}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        measured.update(report.user_properties if report.when == "call" else [])
    if measured:
        terminalreporter.section("measured")
        for what, value in measured.items():
            terminalreporter.line(f"{what}: {value}")
