/** @file list.h  Every distillation loss: X(name) for ctkd__loss_name, in the order of listings. */
#define CTKD__LOSS_LIST(X)                                                                         \
    X(kd)                                                                                          \
    X(dkd)                                                                                         \
    X(dist)                                                                                        \
    X(lskd)                                                                                        \
    X(ttm)                                                                                         \
    X(wttm)                                                                                        \
    X(mlkd)                                                                                        \
    X(pkt)                                                                                         \
    X(sp)                                                                                          \
    X(vid)                                                                                         \
    X(crd)                                                                                         \
    X(srrl)                                                                                        \
    X(fitnet)                                                                                      \
    X(at)                                                                                          \
    X(rkd)                                                                                         \
    X(nst)                                                                                         \
    X(cc)                                                                                          \
    X(ab)                                                                                          \
    X(ft)                                                                                          \
    X(fsp)                                                                                         \
    X(kdsvd)                                                                                       \
    X(ofd)                                                                                         \
    X(reviewkd)
