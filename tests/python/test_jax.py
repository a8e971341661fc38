"""The example for JAX against the library's own SGD in NumPy."""
import sys

import golden
import numpy as np
import pytest

pytest.importorskip("jax")
sys.path.insert(0, str(golden.SOURCE / "examples/python"))
import ctkd


def test_jax_moves_weights_and_theta_as_the_library_does():
    import jax_loop

    x, t, labels, course = (np.asarray(value) for value in jax_loop.main())
    plugin = ctkd.Plugin(n_max=jax_loop.BATCH, k=jax_loop.CLASSES)
    w = np.zeros((jax_loop.FEATURES, jax_loop.CLASSES), np.float32)
    velocity, i = np.zeros_like(w), 0
    for epoch in (1, 2):
        for begin in range(0, len(x), jax_loop.BATCH):
            batch = slice(begin, begin + jax_loop.BATCH)
            measured = plugin.evaluate(x[batch] @ w, t[batch], labels[batch], epoch=epoch)
            plugin.apply(measured.dtheta)
            velocity = 0.9 * velocity + x[batch].T @ measured.ds
            w = w - 0.1 * velocity
            np.testing.assert_allclose(course[i], [measured.loss, plugin.theta[0]], rtol=1e-4)
            i += 1
    assert i == 20 and course[-1][0] < course[0][0] and abs(course[-1][1] - 1) > 1e-3
