"""CTKD in a loop of JAX: the loss is a callback to ctkd, with its gradients given to JAX, inside jax.jit. Runs on the CPU in
seconds; needs jax and ctkd. theta is a parameter like the weights: its gradient comes already reversed."""
import jax
import jax.numpy as jnp
import numpy as np

import ctkd

SAMPLES, FEATURES, CLASSES, BATCH = 640, 20, 10, 64

plugin = ctkd.Plugin(n_max=BATCH, k=CLASSES)  # here only its evaluation is used: theta comes with each call


def on_host(s, theta, t, labels, epoch):
    plugin.theta = theta
    measured = plugin.evaluate(s, t, labels, epoch=int(epoch))
    return np.float32(measured.loss), measured.ds, measured.dtheta


def measure(s, theta, t, labels, epoch):
    shapes = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((), s.shape, theta.shape))
    return jax.pure_callback(on_host, shapes, s, theta, t, labels, epoch)


@jax.custom_vjp
def ctkd_loss(s, theta, t, labels, epoch):
    return measure(s, theta, t, labels, epoch)[0]


def forward(*arguments):
    loss, ds, dtheta = measure(*arguments)
    return loss, (ds, dtheta)


def backward(gradients, g):
    ds, dtheta = gradients
    return g * ds, g * dtheta, None, None, None


ctkd_loss.defvjp(forward, backward)


def loss_of(parameters, x, t, labels, epoch):
    return ctkd_loss(x @ parameters["w"], parameters["theta"], t, labels, epoch)


@jax.jit
def step(parameters, velocity, x, t, labels, epoch):
    """SGD with momentum: of the weights with the rate 0.1, of theta as published (0.05, weight decay 5e-4)."""
    loss, gradient = jax.value_and_grad(loss_of)(parameters, x, t, labels, epoch)
    gradient["theta"] += 5e-4 * parameters["theta"]
    velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, gradient)
    rate = {"w": 0.1, "theta": 0.05}
    return {name: value - rate[name] * velocity[name] for name, value in parameters.items()}, velocity, loss


def main(epochs=2):
    keys = jax.random.split(jax.random.key(1), 2)
    x = jax.random.normal(keys[0], (SAMPLES, FEATURES))
    t = x @ jax.random.normal(keys[1], (FEATURES, CLASSES))
    labels = t.argmax(1)
    parameters = {"w": jnp.zeros((FEATURES, CLASSES)), "theta": jnp.asarray(plugin.theta)}
    velocity = jax.tree.map(jnp.zeros_like, parameters)
    course = []
    for epoch in range(1, epochs + 1):
        for i in range(0, SAMPLES, BATCH):
            batch = slice(i, i + BATCH)
            parameters, velocity, loss = step(parameters, velocity, x[batch], t[batch], labels[batch], epoch)
            course.append((float(loss), float(parameters["theta"][0])))
        print(f"epoch {epoch}: loss {course[-1][0]:.4f}, theta {course[-1][1]:.4f}")
    return x, t, labels, course


if __name__ == "__main__":
    main()
