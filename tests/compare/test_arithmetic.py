"""Medians, ratios and verdicts."""

import math
import unittest

import arithmetic
import verdict


class Quantiles(unittest.TestCase):
    def test_median_of_odd_and_even_numbers(self):
        self.assertEqual(arithmetic.quantile([3, 1, 2], 0.5), 2)
        self.assertEqual(arithmetic.quantile([4, 1, 2, 3], 0.5), 2.5)
        self.assertEqual(arithmetic.quantile([7], 0.25), 7)

    def test_lies_between_values(self):
        self.assertEqual(arithmetic.quantile([0, 10, 20, 30, 40], 0.25), 10)
        self.assertAlmostEqual(arithmetic.quantile([0, 1], 0.3), 0.3)
        self.assertEqual(arithmetic.quantile([5, 6], 1), 6)

    def test_nothing_has_none(self):
        with self.assertRaises(ValueError):
            arithmetic.quantile([], 0.5)

    def test_summary(self):
        self.assertEqual(arithmetic.summary([5.0, 1.0, 2.0, 4.0, 3.0]),
                         {"ms": 3.0, "ms_min": 1.0, "ms_q1": 2.0, "ms_q3": 4.0, "ms_max": 5.0,
                          "runs": 5})


class Runs(unittest.TestCase):
    def test_fill_the_time(self):
        self.assertEqual(arithmetic.runs_for(10, 0.5), 50)

    def test_are_neither_too_few_nor_too_many(self):
        self.assertEqual(arithmetic.runs_for(1000, 0.5), 5)
        self.assertEqual(arithmetic.runs_for(0.01, 0.5), 200)
        self.assertEqual(arithmetic.runs_for(0, 0.5), 200)

    def test_long_ones_are_two_at_least(self):
        self.assertEqual(arithmetic.runs_for(3000, 0.5), 3)
        self.assertEqual(arithmetic.runs_for(30000, 0.5), 2)
        self.assertEqual(arithmetic.runs_for(30000, 90), 3)


class Ratios(unittest.TestCase):
    def test_times_faster(self):
        self.assertEqual(arithmetic.times_faster(2.0, 66.0), 33.0)
        self.assertIsNone(arithmetic.times_faster(None, 66.0))
        self.assertIsNone(arithmetic.times_faster(2.0, None))

    def test_geometric_mean(self):
        self.assertAlmostEqual(arithmetic.geometric_mean([2, 8]), 4)
        self.assertAlmostEqual(arithmetic.geometric_mean([5]), 5)
        with self.assertRaises(ValueError):
            arithmetic.geometric_mean([])

    def test_relative_difference(self):
        self.assertAlmostEqual(arithmetic.relative_difference(101, 100), 0.01)
        self.assertAlmostEqual(arithmetic.relative_difference(99, 100), -0.01)
        self.assertEqual(arithmetic.relative_difference(0, 0), 0)
        self.assertEqual(arithmetic.relative_difference(1, 0), math.inf)

    def test_agreement(self):
        self.assertEqual(arithmetic.agreement([1, 2, 3, 4], [1, 2, 0, 4]), 0.75)
        for lists in (([1], [1, 2]), ([], [])):
            with self.assertRaises(ValueError):
                arithmetic.agreement(*lists)

    def test_three_digits(self):
        for value, text in ((1234.5, "1230"), (12.345, "12.3"), (0.0012345, "0.00123"), (1, "1.00"),
                            (999.6, "1000"), (0, "0"), (-2.5, "-2.50")):
            self.assertEqual(arithmetic.three_digits(value), text)


class Verdicts(unittest.TestCase):
    def test_an_excess_within_the_tolerance_is_right(self):
        check = verdict.judge({"excess": 5e-4}, "half")
        self.assertNotIn("wrong", check)
        self.assertEqual(check["tolerance"], 1e-3)

    def test_what_is_beyond_it_or_no_number_is_wrong(self):
        self.assertIn("wrong", verdict.judge({"excess": 2e-3}, "half"))
        self.assertNotIn("wrong", verdict.judge({"excess": 2e-3}, "bf16"))
        self.assertIn("wrong", verdict.judge({"excess": math.nan}, "half"))
        self.assertIn("wrong", verdict.judge({"error_of_means": math.inf}, "float"))
        self.assertIn("0.002", verdict.judge({"error_of_means": 2e-3}, "float")["wrong"])

    def against(self, inertia, takes_start):
        return verdict.against_ours({"inertia": inertia}, None, {"inertia": 100.0}, None,
                                    takes_start)

    def test_inertia_is_compared_with_ours_both_ways(self):
        self.assertNotIn("wrong", self.against(100.1, True))
        self.assertIn("wrong", self.against(101.0, True))
        self.assertIn("wrong", self.against(99.0, True))
        self.assertIn("wrong", self.against(math.nan, True))

    def test_another_start_may_end_elsewhere(self):
        self.assertNotIn("wrong", self.against(101.0, False))
        self.assertIn("wrong", self.against(103.0, False))

    def test_labels_are_counted(self):
        check = verdict.against_ours({}, [1, 2], {}, [1, 3], True)
        self.assertEqual(check["labels_as_ours"], 0.5)


if __name__ == "__main__":
    unittest.main()
