/* Every format of weights files: add a word here and define
 * `const struct ctkd__weights_format ctkd__weights_format_WORD` in format_WORD.c
 * (weights/format.h). A file's contents are offered to them in this order; the first is the format
 * that runs write. */
#define CTKD__WEIGHTS_FORMAT_LIST(X)                                                               \
    X(safetensors)                                                                                 \
    X(pth)                                                                                         \
    X(onnx)
