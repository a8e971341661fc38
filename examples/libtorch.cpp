/* Curriculum temperature with LibTorch: libctkd reads the logits at their data_ptr and writes
   dL/ds, from which LibTorch's backward pass begins. A small network learns from a fixed linear
   teacher. */
#include <cstdio>
#include <stdexcept>

#include <ATen/ATen.h>

#include "ctkd/ctkd.h"

namespace
{
constexpr int64_t SAMPLES = 512, FEATURES = 20, HIDDEN = 32, CLASSES = 10, BATCH = 64;
constexpr size_t EPOCHS = 10;

void check(ctkd_status status, const ctkd_error &err)
{
    if (status != CTKD_OK)
        throw std::runtime_error(err.message);
}

/* A plugin and its report of the last batch. */
class Ctkd
{
  public:
    Ctkd(size_t n_max, size_t k)
    {
        const ctkd_plugin_config config = ctkd_plugin_defaults(n_max, k);
        check(ctkd_plugin_create_checked(&config, &plugin_, &err_), err_);
    }
    ~Ctkd() { ctkd_plugin_destroy(plugin_); }
    Ctkd(const Ctkd &) = delete;
    Ctkd &operator=(const Ctkd &) = delete;

    /* Gives dL/ds and moves theta. s, t: [n, k], float on the CPU; labels: [n], int64. */
    at::Tensor step(const at::Tensor &s, const at::Tensor &t, const at::Tensor &labels, size_t epoch)
    {
        const at::Tensor student = s.detach().contiguous(), teacher = t.contiguous(), y = labels.contiguous();
        at::Tensor ds = at::empty_like(student);
        float dtheta = 0;
        ctkd_plugin_batch batch{};
        batch.size = sizeof batch;
        batch.n = static_cast<size_t>(student.size(0));
        batch.s = student.data_ptr<float>();
        batch.t = teacher.data_ptr<float>();
        batch.labels64 = y.data_ptr<int64_t>();
        batch.epoch = epoch;
        check(ctkd_plugin_evaluate(plugin_, &batch, ds.data_ptr<float>(), &dtheta, &report, &err_), err_);
        check(ctkd_plugin_apply(plugin_, &dtheta, 1.0f, &err_), err_);
        return ds;
    }

    ctkd_plugin_report report{};

  private:
    ctkd_plugin *plugin_ = nullptr;
    ctkd_error err_{};
};
} // namespace

int main()
{
    at::manual_seed(1);
    const at::Tensor x = at::randn({ SAMPLES, FEATURES });
    const at::Tensor t = x.mm(at::randn({ FEATURES, CLASSES })), labels = t.argmax(1);
    at::Tensor weights[] = { 0.2 * at::randn({ FEATURES, HIDDEN }), 0.2 * at::randn({ HIDDEN, CLASSES }) };
    for (at::Tensor &w : weights)
        w.set_requires_grad(true);
    Ctkd ctkd(BATCH, CLASSES);
    float first = 0, loss = 0;
    for (size_t epoch = 1; epoch <= EPOCHS; epoch++) {
        loss = 0;
        for (int64_t b = 0; b < SAMPLES; b += BATCH) {
            const at::Tensor s = x.narrow(0, b, BATCH).mm(weights[0]).relu().mm(weights[1]);
            s.backward(ctkd.step(s, t.narrow(0, b, BATCH), labels.narrow(0, b, BATCH), epoch));
            for (at::Tensor &w : weights) {
                w.data().sub_(0.1 * w.grad());
                w.mutable_grad().reset();
            }
            loss += ctkd.report.loss / (SAMPLES / BATCH);
        }
        std::printf("epoch %2zu  lambda %.3f  tau %6.3f  loss %.4f\n", epoch, static_cast<double>(ctkd.report.lambda),
                    static_cast<double>(ctkd.report.tau_mean), static_cast<double>(loss));
        first = epoch == 1 ? loss : first;
    }
    return loss < 0.5f * first ? 0 : 1;
}
