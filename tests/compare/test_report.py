"""Tables of a result."""

import unittest

import peers
import report
import shapes
import targets


def shape_of(name, n):
    return {"name": name, "b": 1, "h": 1, "n": n, "k": 1024, "d": 128, "type": "half",
            "layout": "bhsd"}


def row(peer, status="ok", n=1 << 20, verb="fit", **more):
    shape = shape_of(f"shape{n}", n)
    found = {"name": f"{verb}/{shape['name']}/{peer}", "verb": verb, "shape": shape, "peer": peer,
             "status": status, "reason": None if status == "ok" else "because"}
    if status == "ok":
        found.update({"type": "half", "ms": 10.0, "ms_q1": 9.0, "ms_q3": 11.0, "runs": 5,
                      "first_ms": 100.0, "memory_bytes": 3 << 20, "check": {"inertia_to_ours": 0}})
    return {**found, **more}


def results(*rows, missing=()):
    made = [peers.make(name, "cuda") for name in peers.NAMES]
    facts = [{**peer.facts(), "version": "1.2",
              "missing": "not there" if peer.name in missing else None} for peer in made]
    context = {"date": "2026-01-02T03:04:05+00:00", "commit": "abc", "device": "a GPU",
               "on": "cuda", "python": "3", "seed": 0, "iterations": 10, "gpu": {}}
    return {"context": context, "peers": facts, "rows": list(rows)}


class Tables(unittest.TestCase):
    def test_ratios_are_of_an_iteration(self):
        table = report.Table(results(
            row("flash_kmeans", ms_per_iteration=1.0),
            row("cuml", ms=200.0, ms_per_iteration=40.0),
            row("faiss", ms=500.0, ms_per_iteration=50.0)), "fit")
        shape = table.shapes[0]
        self.assertEqual(table.ratio(shape, "cuml"), 40.0)
        self.assertEqual(table.cell(shape, "cuml"), "40.0 (40.0x)")
        self.assertEqual(table.cell(shape, "flash_kmeans"), "1.00")
        self.assertEqual(table.fastest_other(shape), ("cuML", 40.0))

    def test_our_other_ways_are_not_others(self):
        table = report.Table(results(row("flash_kmeans"), row("flash_kmeans-plan", ms=5.0)), "fit")
        self.assertIsNone(table.fastest_other(table.shapes[0]))

    def test_wrong_results_have_no_time(self):
        table = report.Table(results(row("flash_kmeans"), row("cuml", status="wrong", ms=1.0),
                                     row("faiss", ms=70.0)), "fit")
        shape = table.shapes[0]
        self.assertIsNone(table.ratio(shape, "cuml"))
        self.assertEqual(table.fastest_other(shape), ("FAISS", 7.0))

    def test_other_types_are_marked(self):
        table = report.Table(results(row("flash_kmeans"), row("cuml", type="float", ms=20.0)),
                             "fit")
        self.assertEqual(table.cell(table.shapes[0], "cuml"), "20.0 (2.00x) *")

    def test_products_of_fewer_bits_are_marked(self):
        both = [row(peer, verb=verb, type="float") for verb in ("assign", "update")
                for peer in ("flash_kmeans", "flashlib-triton", "flashlib-cutedsl", "cuml")]
        for verb, mark in (("assign", " †"), ("update", "")):
            table = report.Table(results(*both), verb)
            cells = [table.cell(table.shapes[0], peer)
                     for peer in ("flashlib-triton", "flashlib-cutedsl", "cuml")]
            self.assertEqual(cells, [f"10.0 (1.00x){mark} *", "10.0 (1.00x) *", "10.0 (1.00x) *"])
        self.assertIn("| float in TF32 |", report.markdown(results(*both)))

    def test_rows_of_other_verbs_are_apart(self):
        both = results(row("flash_kmeans"), row("flash_kmeans", verb="assign", ms=3.0))
        self.assertEqual(report.Table(both, "assign").time(
            shapes.from_dict(shape_of("shape1048576", 1 << 20)), "flash_kmeans"), 3.0)


class Targets(unittest.TestCase):
    def judge(self, index, *rows):
        target = targets.TARGETS[index]
        return targets.judge(target, report.Table(results(*rows), target.verb))

    def test_best_shape_where_one_is_enough(self):
        ratio, shape, enough = self.judge(
            0, row("flash_kmeans"), row("cuml", ms=300.0),
            row("flash_kmeans", n=1 << 25), row("cuml", n=1 << 25, ms=700.0))
        self.assertEqual((ratio, shape.n, enough), (70.0, 1 << 25, True))

    def test_the_faster_way_of_a_library_counts(self):
        ratio, _, enough = self.judge(1, row("flash_kmeans"), row("faiss", ms=9000.0),
                                      row("faiss-torch", ms=3000.0))
        self.assertEqual((ratio, enough), (300.0, False))

    def test_a_shape_without_one_of_a_library_s_ways_does_not_count(self):
        ratio, shape, _ = self.judge(1, row("flash_kmeans"), row("faiss", ms=9000.0),
                                     row("faiss-torch", ms=3000.0),
                                     row("flash_kmeans", n=1 << 25),
                                     row("faiss", n=1 << 25, ms=8000.0))
        self.assertEqual((ratio, shape.n), (300.0, 1 << 20))

    def test_worst_shape_where_all_have_to(self):
        ratio, shape, enough = self.judge(
            3, row("flash_kmeans", verb="assign"), row("cuvs", verb="assign", ms=20.0),
            row("torch", verb="assign", ms=15.0), row("flash_kmeans", verb="assign", n=1 << 25),
            row("cuvs", verb="assign", n=1 << 25, ms=11.0))
        self.assertAlmostEqual(ratio, 1.1)
        self.assertEqual((shape.n, enough), (1 << 25, False))

    def test_batched_shapes_only(self):
        self.assertIsNone(self.judge(2, row("flash_kmeans"), row("torch", ms=15.0)))

    def test_what_was_not_measured_is_not_judged(self):
        self.assertIsNone(self.judge(0, row("flash_kmeans"), row("torch", ms=15.0)))
        self.assertNotIn("## Targets", report.markdown(results(row("flash_kmeans"))))


class Text(unittest.TestCase):
    def test_nothing_is_left_out_in_silence(self):
        text = report.markdown(results(row("flash_kmeans"), row("faiss", status="failed"),
                                       row("torch", status="refused", n=1 << 25),
                                       missing=["cuml"]))
        self.assertIn("- cuML: not there. To install it: pip install", text)
        self.assertIn("- faiss, fit, failed: because (shape1048576)", text)
        self.assertIn("- torch, fit, refused: because (shape33554432)", text)

    def test_shapes_that_were_not_run_are_listed_and_have_no_line(self):
        left = row("flash_kmeans", status="not run", n=1 << 25)
        both = results(row("flash_kmeans"), left, row("torch", status="not run"))
        self.assertEqual([shape.n for shape in report.Table(both, "fit").shapes], [1 << 20])
        self.assertIn("- flash_kmeans, fit, not run: because (shape33554432)",
                      report.markdown(both))

    def test_a_line_that_does_not_install_anything_is_not_shown(self):
        facts = {**peers.make("cuml", "cpu").facts(), "missing": "does not run on cpu"}
        self.assertEqual(report.missing(facts, "cpu"), "missing: cuML: does not run on cpu")
        facts["missing"] = peers.base.NO_GPU
        self.assertEqual(report.missing(facts, "cuda"), "missing: cuML: there is no GPU")

    def test_every_time_names_its_row(self):
        text = report.markdown(results(row("flash_kmeans"), row("cuml", ms=20.0)))
        self.assertIn("`fit/shape1048576/cuml`", text)
        self.assertIn("20.0 (2.00x)", text)
        self.assertIn("Geometric means: cuML 2.00x (1 of 1 shapes).", text)

    def test_tables_are_rectangular(self):
        text = report.markdown(results(row("flash_kmeans"), row("cuml", ms=20.0),
                                       row("flash_kmeans", n=1 << 25)))
        for block in text.split("\n\n"):
            lines = block.strip().split("\n")
            if lines[0].startswith("|"):
                self.assertEqual(len({line.count("|") for line in lines}), 1, block)


if __name__ == "__main__":
    unittest.main()
