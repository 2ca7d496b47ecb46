"""The harness around the workers: rows, verdicts, what is missing, what time does not allow."""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import peers
import run
import shapes


def options(*arguments):
    return run.parse(list(arguments))


def process(code):
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)


class FakeWorker:
    """Answers by a function of (verb, shape)."""

    def __init__(self, name, answer=None, missing=None):
        self.peer = peers.make(name, "cuda")
        self.answer, self.missing, self.asked, self.stopped = answer, missing, [], False

    def launch(self):
        pass

    def greet(self):
        return {"missing": self.missing, "version": "1", "torch": "2"}

    def run(self, verb, shape):
        self.asked.append((verb, shape.name))
        return dict(self.answer)

    def stop(self):
        self.stopped = True


def fine(inertia=100.0, labels=(1, 2, 3), **more):
    return {"status": "ok", "reason": None, "type": "half", "ms": 10.0, "ms_q1": 9.0, "ms_q3": 11.0,
            "runs": 5, "first_ms": 12.0, "memory_bytes": 1 << 20, "iterations": 10,
            "labels": list(labels), "check": {"inertia": inertia}, **more}


class Arguments(unittest.TestCase):
    def refused(self, words, *arguments):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit) as raised:
            options(*arguments)
        self.assertEqual(raised.exception.code, 2)
        self.assertIn(words, errors.getvalue())

    def test_defaults(self):
        found = options()
        self.assertEqual([peer.name for peer in found.peers], list(peers.NAMES))
        self.assertTrue(all("peers" in shape.marks for shape in found.shapes))
        self.assertEqual(found.verbs, list(shapes.VERBS))

    def test_what_is_no_choice_is_refused(self):
        self.refused("no peer is called 'cuMl'", "--peers", "cuMl")
        self.refused("no shape is called 'x'", "--shapes", "x")
        self.refused("'predict' is none of", "--verbs", "fit,predict")
        self.refused("--iterations is 0, must be above 0", "--iterations", "0")
        self.refused("--seconds is -1.0, must be above 0", "--seconds", "-1")

    def test_the_cpu_takes_small_shapes_unless_some_are_named(self):
        found = options("--device", "cpu")
        self.assertTrue(found.shapes)
        for shape in found.shapes:
            self.assertLessEqual(shape.assign_flops * 10, run.CPU_FLOPS)
        named = options("--device", "cpu", "--shapes", "8M_k1024_d128_half")
        self.assertEqual([shape.name for shape in named.shapes], ["8M_k1024_d128_half"])


class Pipe(unittest.TestCase):
    def setUp(self):
        self.worker = run.Worker(peers.make("torch", "cpu"), options())
        self.worker.pending = b""
        self.addCleanup(self.worker.stop)

    def reads(self, code, seconds=30):
        self.worker.process = process(code)
        return self.worker._read(seconds)

    def test_lines_come_one_by_one(self):
        self.assertEqual(self.reads("print('{\"a\": 1}\\n{\"a\": 2}', flush=True)"),
                         ({"a": 1}, None))
        self.assertEqual(self.worker._read(30), ({"a": 2}, None))

    def test_a_crash_is_a_result(self):
        self.assertEqual(self.reads("import os; os._exit(7)"),
                         (None, "its process ended with code 7"))
        self.assertIsNone(self.worker.process)

    def test_so_is_a_row_that_takes_too_long(self):
        self.assertEqual(self.reads("import time; time.sleep(60)", 0.2),
                         (None, "took longer than 0 s"))
        self.assertIsNone(self.worker.process)


class Rows(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = pathlib.Path(self.folder.name) / "out.json"
        self.options = options("--shapes", "1M_k256_d128_half", "--verbs", "fit", "--out",
                               str(self.out))
        self.shape = self.options.shapes[0]
        self.results = {"context": {}, "peers": [], "rows": []}

    def rows(self, *workers, end=None):
        with contextlib.redirect_stdout(io.StringIO()):
            run.one_row_of_all("fit", self.shape, list(workers), self.options, self.results, end)
        return {row["peer"]: row for row in self.results["rows"]}

    def test_others_are_judged_by_ours(self):
        found = self.rows(FakeWorker("flash_kmeans", fine()),
                          FakeWorker("cuml", fine(100.1, (1, 2, 0))),
                          FakeWorker("faiss", fine(110.0)),
                          FakeWorker("fastkmeans", fine(101.0)))
        self.assertEqual(found["flash_kmeans"]["status"], "ok")
        self.assertAlmostEqual(found["cuml"]["check"]["labels_as_ours"], 2 / 3)
        self.assertAlmostEqual(found["cuml"]["check"]["inertia_to_ours"], 1e-3)
        self.assertEqual(found["faiss"]["status"], "wrong")
        self.assertIn("inertia differs", found["faiss"]["reason"])
        self.assertEqual(found["fastkmeans"]["status"], "ok")  # begins elsewhere
        self.assertEqual(found["cuml"]["ms_per_iteration"], 1.0)
        self.assertNotIn("labels", found["cuml"])

    def test_what_was_refused_is_not_run(self):
        learn = FakeWorker("scikit-learn", fine())
        found = self.rows(FakeWorker("flash_kmeans", fine()), learn)
        self.assertEqual(found["scikit-learn"]["status"], "refused")
        self.assertEqual(learn.asked, [])

    def test_a_failure_ends_nothing(self):
        found = self.rows(FakeWorker("flash_kmeans", fine()),
                          FakeWorker("cuml", {"status": "failed", "reason": "broke"}),
                          FakeWorker("torch", fine()))
        self.assertEqual([row["status"] for row in found.values()], ["ok", "failed", "ok"])

    def test_when_time_is_up_the_rest_is_named(self):
        found = self.rows(FakeWorker("flash_kmeans", fine()), FakeWorker("cuml", fine()), end=0)
        self.assertEqual({row["status"] for row in found.values()}, {"not run"})

    def test_ours_runs_again_for_what_is_left_of_an_earlier_run(self):
        self.rows(FakeWorker("flash_kmeans", fine()))
        ours, theirs = FakeWorker("flash_kmeans", fine()), FakeWorker("cuml", fine(200.0))
        found = self.rows(ours, theirs)
        self.assertEqual(len(ours.asked), 1)
        self.assertEqual(len(self.results["rows"]), 2)
        self.assertEqual(found["cuml"]["status"], "wrong")
        ours.asked.clear()
        self.rows(ours, theirs)
        self.assertEqual(ours.asked, [])

    def test_every_row_is_saved_at_once(self):
        self.rows(FakeWorker("flash_kmeans", fine()))
        saved = json.loads(self.out.read_text(encoding="utf-8"))
        self.assertEqual(saved["rows"][0]["name"], "fit/1M_k256_d128_half/flash_kmeans")


class Introduction(unittest.TestCase):
    def test_what_is_missing_is_said_and_kept(self):
        results = {"context": {}, "peers": [], "rows": []}
        workers = [FakeWorker("flash_kmeans"), FakeWorker("cuml", missing="no module")]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            present = run.introduce(workers, options(), results)
        self.assertEqual([worker.peer.name for worker in present], ["flash_kmeans"])
        self.assertIn("missing: cuML: no module. To install it: pip install", out.getvalue())
        self.assertEqual([peer["missing"] for peer in results["peers"]], [None, "no module"])
        self.assertTrue(workers[1].stopped)

    def test_what_runs_elsewhere_is_not_started(self):
        results = {"context": {}, "peers": [], "rows": []}
        with contextlib.redirect_stdout(io.StringIO()):
            present = run.introduce([FakeWorker("cuml")], options("--device", "cpu"), results)
        self.assertEqual(present, [])
        self.assertEqual(results["peers"][0]["missing"], "does not run on cpu")


if __name__ == "__main__":
    unittest.main()
