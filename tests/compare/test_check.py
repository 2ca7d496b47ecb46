"""The regression check: formula, both formats, exit codes."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import check


def own(**times):
    """A result of run.py; a row's value is (median, q1, q3), or a status."""
    rows = []
    for name, value in times.items():
        if isinstance(value, str):
            rows.append({"name": name, "status": value})
        else:
            rows.append({"name": name, "status": "ok", "ms": value[0], "ms_q1": value[1],
                         "ms_q3": value[2]})
    return {"rows": rows}


def google(*entries):
    return {"benchmarks": [{"name": name, "run_name": name, "run_type": "iteration",
                            "real_time": time, "time_unit": unit, **more}
                           for name, time, unit, more in entries]}


class Rows(unittest.TestCase):
    def test_of_run(self):
        found = check.rows_of(own(a=(10.0, 9.5, 10.3), b="refused", c="failed", d="wrong"))
        self.assertAlmostEqual(found["a"][1], 0.4)
        self.assertEqual(found["a"][0], 10.0)
        self.assertNotIn("b", found)
        self.assertIsNone(found["c"])
        self.assertIsNone(found["d"])

    def test_of_google_benchmark(self):
        found = check.rows_of(google(
            ("a", 1500.0, "us", {"ms": 1.5, "ms_min": 1.4, "graph_ms": 1.2, "graph_ms_min": 1.1}),
            ("b", 2.0, "ms", {"error_occurred": True}), ("c", 3.0, "ms", {})))
        self.assertAlmostEqual(found["a"][0], 1.5)
        self.assertAlmostEqual(found["a"][1], 0.1)
        self.assertAlmostEqual(found["a graph"][0], 1.2)
        self.assertAlmostEqual(found["a graph"][1], 0.1)
        self.assertIsNone(found["b"])
        self.assertEqual(found["c"], (3.0, 0.0))

    def test_repetitions_make_median_and_deviation(self):
        repeated = google(("a", 1.0, "ms", {}), ("a", 2.0, "ms", {}), ("a", 6.0, "ms", {}))
        repeated["benchmarks"].append({"name": "a_mean", "run_name": "a", "run_type": "aggregate",
                                       "real_time": 99.0, "time_unit": "ms"})
        median, noise = check.rows_of(repeated)["a"]
        self.assertEqual(median, 2.0)
        self.assertAlmostEqual(noise, 7**0.5)

    def test_of_anything_else(self):
        with self.assertRaises(ValueError):
            check.rows_of({"some": "thing"})


class Slower(unittest.TestCase):
    def test_five_per_cent_without_noise(self):
        self.assertFalse(check.is_slower((100, 0), (104.9, 0), 0.05))
        self.assertTrue(check.is_slower((100, 0), (105.1, 0), 0.05))
        self.assertFalse(check.is_slower((100, 0), (50, 0), 0.05))

    def test_noise_of_both_is_added_as_squares(self):
        self.assertFalse(check.is_slower((100, 3), (109.9, 4), 0.05))
        self.assertTrue(check.is_slower((100, 3), (110.1, 4), 0.05))

    def test_names_what_is_slower_failed_and_missing(self):
        found = check.compare({"a": (1, 0), "b": (1, 0), "c": (1, 0), "d": None, "e": (1, 0)},
                              {"a": (2, 0), "b": (1, 0), "c": None, "d": None, "f": (1, 0)})
        self.assertEqual(found, {"slower": ["a"], "failed": ["c"], "only_old": ["e"],
                                 "only_new": ["f"], "compared": 2})


class Command(unittest.TestCase):
    def run_check(self, old, new, *options):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, results in (("old", old), ("new", new)):
                path = pathlib.Path(folder) / f"{name}.json"
                path.write_text(results if isinstance(results, str) else json.dumps(results),
                                encoding="utf-8")
                paths.append(str(path))
            out, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                code = check.main(paths + list(options))
            return code, out.getvalue() + errors.getvalue()

    def test_a_result_against_itself(self):
        results = own(a=(10.0, 9.9, 10.1))
        code, text = self.run_check(results, results)
        self.assertEqual(code, 0)
        self.assertIn("1 rows compared, 0 slower, 0 failed", text)

    def test_a_slower_row(self):
        old, new = own(a=(10.0, 9.9, 10.1)), own(a=(11.0, 10.9, 11.1))
        code, text = self.run_check(old, new)
        self.assertEqual(code, 1)
        self.assertIn("slower: a: 10 ms (noise 0.1) -> 11 ms (noise 0.1), +10.0%", text)
        self.assertEqual(self.run_check(old, new, "--allowed", "0.1")[0], 0)
        self.assertEqual(self.run_check(new, old)[0], 0)

    def test_rows_of_one_side_are_named_and_are_no_failure(self):
        code, text = self.run_check(own(a=(1, 1, 1), b=(1, 1, 1)), own(a=(1, 1, 1), c=(1, 1, 1)))
        self.assertEqual(code, 0)
        self.assertIn("only in the old file: b", text)
        self.assertIn("only in the new file: c", text)

    def test_a_row_that_fails_now(self):
        code, text = self.run_check(own(a=(1, 1, 1), b=(1, 1, 1)), own(a=(1, 1, 1), b="failed"))
        self.assertEqual(code, 1)
        self.assertIn("failed: b", text)

    def test_files_that_cannot_be_compared(self):
        good = own(a=(1, 1, 1))
        for old, new in (("no json", good), (good, {"some": "thing"}), (good, own(b=(1, 1, 1))),
                         (good, own(a="failed"))):
            self.assertEqual(self.run_check(old, new)[0], 2)


if __name__ == "__main__":
    unittest.main()
