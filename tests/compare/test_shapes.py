"""The list of shapes as Python reads it."""

import pathlib
import tempfile
import unittest

import shapes

LINE = "32x64K_k1024_d128_half,1,32,65536,1024,128,half,bhsd,assign+peers"


class Parse(unittest.TestCase):
    def test_takes_a_line_apart(self):
        shape = shapes.parse(LINE, "here")
        self.assertEqual((shape.b, shape.h, shape.n, shape.k, shape.d), (1, 32, 65536, 1024, 128))
        self.assertEqual((shape.type, shape.layout), ("half", "bhsd"))
        self.assertEqual(shape.marks, ("assign", "peers"))
        self.assertEqual(shape.problems, 32)
        self.assertEqual(shape.points, 32 * 65536)
        self.assertEqual(shape.point_bytes, 32 * 65536 * 128 * 2)
        self.assertEqual(shape.assign_flops, 2.0 * 32 * 65536 * 1024 * 128)
        self.assertEqual(shape.verbs(), ["assign"])

    def test_says_what_is_wrong_and_where(self):
        for old, new, words in ((",1,32,", ",1,", "not name,b,h"),
                                (",32,", ",0,", "'0' is no positive integer"),
                                (",32,", ",-3,", "'-3' is no positive integer"),
                                (",32,", ",x,", "'x' is no positive integer"),
                                (",half,", ",int8,", "'int8' is none of half"),
                                (",bhsd,", ",bdsh,", "'bdsh' is none of bhsd"),
                                ("+peers", "+pears", "'pears' is none of assign")):
            with self.assertRaisesRegex(ValueError, f"here: .*{words}"):
                shapes.parse(LINE.replace(old, new, 1), "here")

    def test_survives_json(self):
        shape = shapes.parse(LINE, "here")
        again = shapes.from_dict(shape.as_dict())
        self.assertEqual(again.as_dict(), shape.as_dict())

    def test_is_shown_as_the_readme_does(self):
        def text(**changes):
            fields = {**shapes.parse(LINE, "here").as_dict(), **changes}
            return shapes.from_dict(fields).text()

        self.assertEqual(text(), "32 x (64K x 1024)")
        self.assertEqual(text(h=1, n=1 << 20, k=4096), "1M x 4096")
        self.assertEqual(text(h=1, n=10000000, k=20000, type="bf16"), "10000000 x 20000, bf16")
        self.assertEqual(text(b=2, n=37440, k=293, d=64, layout="nhd"),
                         "64 x (37440 x 293), d = 64, NHD")


class Read(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "shapes.csv"
            path.write_text(text, encoding="utf-8")
            return shapes.read(path)

    def test_passes_over_comments_and_the_header(self):
        found = self.read(f"# words\n{','.join(shapes.FIELDS)}\n\n{LINE}\n# words\n")
        self.assertEqual([shape.name for shape in found], ["32x64K_k1024_d128_half"])

    def test_refuses_a_name_twice_and_an_empty_list(self):
        with self.assertRaisesRegex(ValueError, "twice: 32x64K"):
            self.read(f"header\n{LINE}\n{LINE}\n")
        with self.assertRaisesRegex(ValueError, "no shapes"):
            self.read("header\n")

    def test_the_list_covers_what_is_promised(self):
        chosen = shapes.choose(shapes.read(), "peers")
        for attribute, low, high in (("n", 8192, 1 << 25), ("k", 16, 65536), ("d", 3, 1536),
                                     ("problems", 1, 64)):
            values = [getattr(shape, attribute) for shape in chosen]
            self.assertLessEqual(min(values), low, attribute)
            self.assertGreaterEqual(max(values), high, attribute)
        for verb in shapes.VERBS:
            self.assertTrue(any(verb in shape.verbs() for shape in chosen), verb)


class Choose(unittest.TestCase):
    def setUp(self):
        self.shapes = [shapes.parse(LINE.replace("32x64K", name).replace(marks, new), "here")
                       for name, marks, new in (("a", "+peers", ""), ("ab", "", ""),
                                                ("b", "", ""))]

    def names(self, wanted):
        return [shape.name[:2].strip("_") for shape in shapes.choose(self.shapes, wanted)]

    def test_by_mark_name_and_pattern(self):
        self.assertEqual(self.names("peers"), ["ab", "b"])
        self.assertEqual(self.names("all"), ["a", "ab", "b"])
        self.assertEqual(self.names("a*"), ["a", "ab"])
        self.assertEqual(self.names("b_k1024_d128_half,a*,all"), ["b", "a", "ab"])

    def test_a_pattern_that_names_nothing_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "no shape is called 'c'"):
            shapes.choose(self.shapes, "a*,c")


class WarmUp(unittest.TestCase):
    def test_is_of_a_type_that_the_peer_takes(self):
        self.assertEqual(shapes.warm_up(("half", "bf16", "float")).type, "float")
        self.assertEqual(shapes.warm_up(("half", "bf16")).type, "half")


if __name__ == "__main__":
    unittest.main()
