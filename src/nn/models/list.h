/* Families of networks, in the order in which `ctkd models` prints them; a new family needs a file
   and a word here. */
#define CTKD__MODEL_LIST(X)                                                                        \
    X(resnet)                                                                                      \
    X(resnet_a)                                                                                    \
    X(wrn)                                                                                         \
    X(vgg)                                                                                         \
    X(resnet_four)                                                                                 \
    X(mobilenet_v2)                                                                                \
    X(shuffle_v1)                                                                                  \
    X(shuffle_v2)                                                                                  \
    X(resnet_imagenet)                                                                             \
    X(mobilenet_v1)                                                                                \
    X(mobilenet_v2_imagenet)                                                                       \
    X(vgg_imagenet)                                                                                \
    X(shuffle_v2_imagenet)
