"""Every row of the paper as data, and the embedded job: a recipe is the scripts' options."""
from gluon_bof.options import EMBEDDED, Yolo3Options
from gluon_bof.rcnn_options import FasterRcnnOptions

# The embedded job: every freebie on, at a size that two CPU cores finish in minutes. No pretrained base is at hand
# there, which is why it takes Adam, a small batch and a start near the identity instead of the paper's SGD.
EMBEDDED_YOLO3 = Yolo3Options(
    dataset=EMBEDDED, network="mobilenet0.25", data_shape=160, random_shapes="128,192", batch_size=8, epochs=12,
    optimizer="adam", lr=0.003, lr_mode="cosine", warmup_epochs=1, wd=0.0, no_wd=True, syncbn=True,
    mixup=True, no_mixup_epochs=5, label_smooth_eps=0.1, pretrained_base="no", init="near-identity",
    objectness_prior=0.01, num_workers=1, val_interval=4, log_interval=50, save_interval=0, seed=0)

# The same for Faster R-CNN: a slim pyramid on ResNet-18, with fewer proposals and regions than pictures of 600 pixels need.
EMBEDDED_FASTER_RCNN = FasterRcnnOptions(
    dataset=EMBEDDED, network="resnet18_v1b", use_fpn=True, norm_layer="syncbn", pretrained_base="no",
    image_short="128", image_max_size=192, batch_size=4, epochs=4, optimizer="adam", lr=0.001, lr_mode="cosine",
    lr_warmup=200, wd=0.0, mixup=True, no_mixup_epochs=2, label_smooth_eps=0.1,
    num_fpn_filters=64, num_box_head_conv=0, num_box_head_dense_filters=256, rpn_channel=64,
    anchor_scales="1,2,3,4,6", anchor_alloc_size="64,64", rpn_train_pre_nms=600, rpn_train_post_nms=200,
    rpn_test_pre_nms=300, rpn_test_post_nms=50, rpn_min_size=4, rcnn_num_samples=64,
    num_workers=1, val_interval=2, log_interval=50, save_interval=0, seed=0)
