"""What is right enough to be compared. Standard library only."""

from arithmetic import agreement, relative_difference

# By the type of points that a peer got; it may round its centroids to that type, and multiply float
# in TF32. Assignments: largest relative excess of the sum of distances over the least possible one.
ASSIGN_TOLERANCE = {"half": 1e-3, "bf16": 4e-3, "float": 1e-3, "tf32": 1e-3, "double": 1e-9}
# Updates: largest error of a coordinate of a mean of points that are standard normal; for half and
# bfloat16 what rounding a coordinate below 8 may cost, twice.
UPDATE_TOLERANCE = {"half": 4e-3, "bf16": 3.2e-2, "float": 1e-4, "tf32": 1e-4, "double": 1e-9}
# Fits: largest relative difference of the inertia from ours; from the same start paths part by
# rounding, from another start they were never one.
FIT_TOLERANCE = 2e-3
OWN_START_TOLERANCE = 2e-2


def judge(check, given_type):
    """The verdict on what float64 arithmetic found (see checking.examine): check with "tolerance",
    and "wrong" where something is."""
    for key, tolerances, words in (
            ("excess", ASSIGN_TOLERANCE, "distances are above the least possible by a share of"),
            ("error_of_means", UPDATE_TOLERANCE, "a mean is off by")):
        if key in check:
            check["tolerance"] = tolerances[given_type]
            if not check[key] <= check["tolerance"]:  # NaN is wrong too
                check["wrong"] = f"{words} {check[key]:.3g}"
    return check


def against_ours(check, labels, ours_check, ours_labels, takes_start):
    """Adds to check how a peer's row compares with ours."""
    if labels and ours_labels:
        check["labels_as_ours"] = agreement(ours_labels, labels)
    if "inertia" in check and "inertia" in ours_check:
        difference = relative_difference(check["inertia"], ours_check["inertia"])
        check["inertia_to_ours"] = difference
        check["tolerance"] = FIT_TOLERANCE if takes_start else OWN_START_TOLERANCE
        if not abs(difference) <= check["tolerance"]:
            check["wrong"] = f"inertia differs from ours by a share of {difference:.3g}"
    return check
