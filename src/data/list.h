/* Every data set: add a word here and define `const struct ctkd__dataset_def ctkd__dataset_WORD`.
 */
#define CTKD__DATASET_LIST(X)                                                                      \
    X(fashion_mnist)                                                                               \
    X(mnist)                                                                                       \
    X(cifar10)                                                                                     \
    X(cifar100)                                                                                    \
    X(image_folder)                                                                                \
    X(imagenet)                                                                                    \
    X(tiny_imagenet)
