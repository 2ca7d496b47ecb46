"""The C library by ctypes, on the CPU; FLASH_KMEANS_C names it."""

import ctypes
import os
import unittest

from peers import capi

# Two problems of six points on a line around 0 and 10, and around 100 and 200; [2][6][1].
POINTS = [-1, 0, 1, 9, 10, 11, 99, 100, 101, 199, 200, 201]
FIRST = [-1, 11, 99, 201]


class Library(unittest.TestCase):
    def setUp(self):
        self.library = capi.Library(os.environ["FLASH_KMEANS_C"])
        self.points = (ctypes.c_float * 12)(*POINTS)
        self.first = (ctypes.c_float * 4)(*FIRST)
        self.labels = (ctypes.c_int32 * 12)(*[-1] * 12)
        self.status = (ctypes.c_int32 * (2 * capi.STATUS_WORDS))()
        self.x = capi.matrix(ctypes.addressof(self.points), 1, 2, 6, 1)
        self.c = capi.matrix(ctypes.addressof(self.first), 1, 2, 2, 1)
        self.call = capi.Call(capi.CPU, capi.TYPES["float"], 0, 1, None, None, 0)
        self.options = capi.FitOptions(10, 1, 0.0, ctypes.addressof(self.status))

    def test_has_the_version_of_the_headers(self):
        self.assertRegex(self.library.version(), r"^\d+\.\d+\.\d+$")

    def test_predict(self):
        self.library.predict(self.call, self.x, self.c, self.labels)
        self.assertEqual(list(self.labels), [0, 0, 0, 1, 1, 1] * 2)

    def test_update(self):
        self.labels[:] = [0, 0, 0, 0, 0, 1] * 2
        self.library.update(self.call, self.x, self.labels, self.c)
        for found, expected in zip(self.first, [19 / 5, 11, 699 / 5, 201]):
            self.assertAlmostEqual(found, expected, places=5)

    def test_fit(self):
        self.library.fit(self.call, self.x, self.c, self.labels, self.options)
        self.assertEqual(list(self.first), [0, 10, 100, 200])
        self.assertEqual(list(self.labels), [0, 0, 0, 1, 1, 1] * 2)
        # One update that moves the centroids and one that does not.
        self.assertEqual(self.status[capi.STATUS_ITERATIONS], 2)
        self.assertEqual(self.status[capi.STATUS_WORDS + capi.STATUS_ITERATIONS], 2)

    def test_strides_of_nhd(self):
        mixed = (ctypes.c_float * 12)(*[POINTS[i % 2 * 6 + i // 2] for i in range(12)])
        x = capi.matrix(ctypes.addressof(mixed), 1, 2, 6, 1, "nhd")
        self.library.predict(self.call, x, self.c, self.labels)
        self.assertEqual(list(self.labels), [0, 0, 0, 1, 1, 1] * 2)

    def test_double(self):
        points, first = (ctypes.c_double * 12)(*POINTS), (ctypes.c_double * 4)(*FIRST)
        self.call.type = capi.TYPES["double"]
        self.library.fit(self.call, capi.matrix(ctypes.addressof(points), 1, 2, 6, 1),
                         capi.matrix(ctypes.addressof(first), 1, 2, 2, 1), self.labels,
                         self.options)
        self.assertEqual(list(first), [0, 10, 100, 200])

    def test_no_workspace_on_the_cpu(self):
        self.assertEqual(self.library.workspace_bytes(self.call, capi.FIT, self.x, self.c,
                                                      self.options), 0)

    def refuses(self, words, work):
        with self.assertRaisesRegex(RuntimeError, words):
            work()

    def test_errors_are_the_library_s_own_words(self):
        self.x.rows = 0
        self.refuses("x.rows.*0",
                     lambda: self.library.predict(self.call, self.x, self.c, self.labels))

    def test_what_cpp_callers_cannot_get_wrong(self):
        def predict():
            self.library.predict(self.call, self.x, self.c, self.labels)

        self.call.type = capi.TYPES["half"]
        self.refuses("type is 0, on the CPU must be 2", predict)
        self.call.type = 7
        self.refuses("type is 7, must be 0 to 3", predict)
        self.call.type, self.call.device = capi.TYPES["float"], 5
        self.refuses("device is 5, must be 0", predict)

    def test_the_gpu_is_refused_where_it_is_not_built_in(self):
        self.assertFalse(self.library.has_gpu())
        self.call.device = capi.GPU
        self.refuses("built without CUDA",
                     lambda: self.library.predict(self.call, self.x, self.c, self.labels))

    def test_plans_and_verbs_are_checked(self):
        self.refuses("plans need the GPU", lambda: self.library.plan(
            self.call, self.x, self.c, self.labels, self.options))
        self.refuses("plan is null", lambda: self.library.plan_fit(None, None))
        self.refuses("verb is 9", lambda: self.library.workspace_bytes(
            self.call, 9, self.x, self.c, self.options))
        self.refuses("options is null", lambda: self.library.workspace_bytes(
            self.call, capi.FIT, self.x, self.c))


if __name__ == "__main__":
    unittest.main()
