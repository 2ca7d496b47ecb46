"""What the peers say about themselves, without any of them installed."""

import unittest

import peers
import shapes


def shape(**changes):
    fields = {"name": "a", "b": 1, "h": 1, "n": 1 << 20, "k": 1024, "d": 128, "type": "half",
              "layout": "bhsd", **changes}
    return shapes.from_dict(fields)


class Choose(unittest.TestCase):
    def test_ours_is_always_first(self):
        self.assertEqual(peers.choose("cuml,faiss"), ["flash_kmeans", "cuml", "faiss"])
        self.assertEqual(peers.choose("all"), list(peers.NAMES))

    def test_an_unknown_name_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "no peer is called 'cumll'"):
            peers.choose("cumll")


class Facts(unittest.TestCase):
    def test_are_complete(self):
        for name in peers.NAMES:
            peer = peers.make(name, "cuda")
            facts = peer.facts()
            for key in ("title", "install", "types", "verbs", "start", "data", "synchronises",
                        "first_call", "extra_work"):
                self.assertTrue(facts[key], f"{name}: {key}")
            self.assertLessEqual(set(facts["verbs"]), set(shapes.VERBS), name)
            self.assertIn(facts["clock"], ("events", "host"))
            self.assertIn(facts["memory"], ("torch", "device", "process"))
            for verb in facts["verbs"]:
                self.assertNotEqual(getattr(type(peer), verb), getattr(peers.base.Peer, verb), name)

    def test_types_that_are_lacking_are_given_as_float(self):
        self.assertEqual(peers.make("cuml", "cuda").type_for(shape()), "float")
        self.assertEqual(peers.make("cuml", "cuda").type_for(shape(type="double")), "double")
        self.assertEqual(peers.make("flash_kmeans", "cuda").type_for(shape()), "half")
        self.assertEqual(peers.make("flash_kmeans", "cpu").type_for(shape()), "float")


class Refusals(unittest.TestCase):
    def why(self, name, verb="fit", **changes):
        return peers.make(name, "cuda").refuses(verb, shape(**changes), 10)

    def test_of_verbs_that_are_not_there(self):
        self.assertIn("no update", self.why("cuml", "update"))
        self.assertIsNone(self.why("cuml", "fit"))

    def test_of_thousands_of_problems_one_by_one(self):
        self.assertIsNone(self.why("cuml", h=64))
        self.assertIn("10000 problems", self.why("cuml", h=10000))
        self.assertIsNone(self.why("torch", h=10000))

    def test_of_what_would_take_too_long(self):
        self.assertIn("too long", self.why("scikit-learn"))
        self.assertIsNone(self.why("scikit-learn", n=1797, k=10))

    def test_of_what_its_kernel_does_not_take(self):
        self.assertIsNone(self.why("flashlib-cutedsl"))
        self.assertIn("half and bfloat16", self.why("flashlib-cutedsl", type="float"))
        self.assertIn("multiples of 16", self.why("flashlib-cutedsl", d=45))
        self.assertIn("multiples of 16", self.why("flashlib-cutedsl", d=768))
        self.assertIn("one problem", self.why("flashlib-cutedsl", h=8))


if __name__ == "__main__":
    unittest.main()
