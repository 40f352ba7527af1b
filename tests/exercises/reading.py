"""What learners should not see at a glance, of chapter 00; as in pruning.py beside this file."""

WRONG = {
    "reading.outcome": [
        (
            """
            def outcome(low, high, margin):
                return 1 if low >= 0 else -1 if high < 0 else 0
            """,
            "You compare with 0",
        ),
        (
            """
            def outcome(low, high, margin):
                centre = low + (high - low) / 2
                return -1 if centre < margin else 1
            """,
            "the middle of the interval",
        ),
        (
            """
            def outcome(low, high, margin):
                if high < margin:
                    return -1
                return 1
            """,
            "as soon as a part of the interval",
        ),
        (
            """
            def outcome(low, high, margin):
                return low >= margin
            """,
            "is a truth value",
        ),
        (
            """
            def outcome(low, high, margin):
                if margin < low:
                    return 1
                return -1 if margin > high else 0
            """,
            "begins just at the margin",
        ),
    ],
}

RIGHT = {
    "reading.outcome": [
        """
        def outcome(low, high, margin):
            keeps = [end >= margin for end in (low, high)]
            return {2: 1, 1: 0, 0: -1}[sum(keeps)]
        """,
        """
        def outcome(low, high, margin):
            return 0 if low < margin <= high else 1 if low >= margin else -1
        """,
    ],
}

EQUIVALENT = {}
