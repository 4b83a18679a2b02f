"""BiSeNet (Yu et al., ECCV 2018) on ResNet-18, as it is trained for face parsing: 19 classes a pixel.

Names and shapes of the parameters are those of github.com/zllrunning/face-parsing.PyTorch (MIT licence), so that its
weights fit. There the spatial path of the paper is replaced by the backbone's features at 1/8 of the picture's size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_CLASSES = 19


class BiSeNet(nn.Module):
    """(B, 3, H, W), standardised as ImageNet's -> (B, 19, H, W) scores; H and W multiples of 32.

    conv_out16 and conv_out32 only guided the training; they are here because the weights hold them.
    """

    def __init__(self, n_classes: int = N_CLASSES) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion(256, 256)
        self.conv_out = Head(256, 256, n_classes)
        self.conv_out16 = Head(128, 64, n_classes)
        self.conv_out32 = Head(128, 64, n_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        spatial, context = self.cp(pictures)
        scores = self.conv_out(self.ffm(spatial, context))
        return F.interpolate(scores, pictures.shape[2:], mode="bilinear", align_corners=True)


class ConvBNReLU(nn.Module):
    """Convolution of odd kernel that keeps the size, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(features)))


class ResidualBlock(nn.Module):
    """ResNet's basic block: two convolutions of 3 x 3 beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        change = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features)))))
        return F.relu(change + (features if self.downsample is None else self.downsample(features)))


class ResNet18(nn.Module):
    """Features at 1/8, 1/16 and 1/32 of the size: 128, 256 and 512 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, stride=1)
        self.layer2 = _layer(64, 128, stride=2)
        self.layer3 = _layer(128, 256, stride=2)
        self.layer4 = _layer(256, 512, stride=2)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start = F.max_pool2d(F.relu(self.bn1(self.conv1(pictures))), 3, 2, 1)
        eighth = self.layer2(self.layer1(start))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


def _layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(inputs, outputs, stride), ResidualBlock(outputs, outputs, 1))


class AttentionRefinement(nn.Module):
    """Features whose channels are weighted by their mean over the picture."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        refined = self.conv(features)
        mean = refined.mean((2, 3), keepdim=True)
        return refined * torch.sigmoid(self.bn_atten(self.conv_atten(mean)))


class ContextPath(nn.Module):
    """The backbone's features at 1/8, and what the coarser levels and the whole picture say, at 1/8 too."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvBNReLU(128, 128)
        self.conv_head16 = ConvBNReLU(128, 128)
        self.conv_avg = ConvBNReLU(512, 128, kernel=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        eighth, sixteenth, thirtysecond = self.resnet(pictures)
        whole = self.conv_avg(thirtysecond.mean((2, 3), keepdim=True))
        coarse = self.conv_head32(_resized(self.arm32(thirtysecond) + whole, sixteenth))
        return eighth, self.conv_head16(_resized(self.arm16(sixteenth) + coarse, eighth))


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, like.shape[2:], mode="nearest")


class FeatureFusion(nn.Module):
    """Spatial and context features in one, with the channels that matter in this picture added once more."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = ConvBNReLU(inputs, outputs, kernel=1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        fused = self.convblk(torch.cat([spatial, context], 1))
        mean = fused.mean((2, 3), keepdim=True)
        return fused + fused * torch.sigmoid(self.conv2(F.relu(self.conv1(mean))))


class Head(nn.Module):
    """Scores of the classes."""

    def __init__(self, inputs: int, between: int, n_classes: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(inputs, between)
        self.conv_out = nn.Conv2d(between, n_classes, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv_out(self.conv(features))
